// `gorgon:task/current` for hosts other than Gorgon: spans do nothing, and failures are kept to be looked at.

export const failures = [];

export function fail(reason) {
  failures.push(reason);
}

export class Span {
  static start() {
    return new Span();
  }
  end() {}
}

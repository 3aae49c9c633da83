// `gorgon:task/current` for hosts other than Gorgon: spans are only named, and failures are kept to be looked at.

export const spans = [];
export const failures = [];

export function fail(reason) {
  failures.push(reason);
}

export class Span {
  static start(name) {
    spans.push(name);
    return new Span();
  }
  end() {}
}

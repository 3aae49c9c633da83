// `gorgon:task/current` for hosts other than Gorgon: spans do nothing, and failures are kept to be looked at.

export const failures: string[] = [];

export function fail(reason: string): void {
  failures.push(reason);
}

export class Span {
  static start(_name: string): Span {
    return new Span();
  }
  end(): void {}
}

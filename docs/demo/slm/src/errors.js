/** A stream that is damaged, cut short, newer than this reader or made by another model. */
export class BitstreamError extends Error {
  constructor(message) {
    super(message);
    this.name = "BitstreamError";
  }
}

/** A stream that ends too early. */
export class TruncatedError extends BitstreamError {
  constructor(message = "the stream is cut short") {
    super(message);
    this.name = "TruncatedError";
  }
}

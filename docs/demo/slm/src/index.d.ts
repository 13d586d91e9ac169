/** What a stream says once. */
export interface Header {
  /** Id of the model that decodes the codes: 1 to 127 bytes of UTF-8. */
  model: string;
  /** The first 8 hex digits of the hash of its weights. */
  weightsHash: string;
  /** Of the sound, Hz. */
  sampleRate: number;
  /** Samples per frame. */
  hopLength: number;
  /** 1 to 16. */
  bitsPerCode: number;
  /** Codes per frame, 1 to 255; a frame or chunk may hold fewer. */
  numCodebooks: number;
  /** Frames per chunk; a chunk may hold fewer. */
  chunkFrames: number;
  /** The first 8 hex digits of the hash of the entropy model, if chunks may be coded by one. */
  entropyModel?: string | null;
}

/** The codes of a frame, codebook 0 first; shorter where a frame keeps fewer codebooks. */
export type Frame = Uint16Array;

/** How a payload holds codes: 0 packed, 1 ragged, 2 entropy-coded. */
export type Coding = 0 | 1 | 2;

export interface Chunk {
  readonly lost: false;
  /** Among the chunks of its stream, from 0. */
  readonly number: number;
  /** Its first frame, among those of all parts. */
  readonly start: number;
  readonly levels: number;
  readonly frameCount: number;
  /** Where a part of the sound ends with this chunk: samples by which it is shorter than its frames. */
  readonly trim: number | null;
  readonly coding: Coding;
  /** Bytes of the whole record. */
  readonly size: number;
  /** Decoded when first read. Throws a BitstreamError without the entropy model that it needs. */
  readonly frames: Frame[];
}

/** A gap where chunks were damaged or are missing. */
export interface LostChunk {
  readonly lost: true;
  readonly start: number;
  readonly frameCount: number;
}

/** A stream that is damaged, cut short, newer than this reader or made by another model. */
export class BitstreamError extends Error {}

/** A stream that ends too early. */
export class TruncatedError extends BitstreamError {}

/** The entropy model of coding 2. */
export class EntropyModel {
  /** From the bytes of `context.safetensors`. */
  static load(bytes: Uint8Array): EntropyModel;
  constructor(arrays: Record<string, {shape: number[]; data: Int8Array | Int32Array}>);
  /** The first 8 hex digits of the hash of the arrays, as a header names it. */
  readonly hash: string;
  readonly numCodebooks: number;
  readonly codebookSize: number;
  /** Frames before one that its probabilities depend on. */
  readonly reach: number;
  /** A walk over frames: `begin`, then for each code `frequencies` and `push`, then `end`. */
  start(): {
    begin(): void;
    /** Frequencies (codebookSize), which add up to 2^24, of the frame's next code. */
    frequencies(): Float64Array;
    push(code: number): void;
    end(): void;
  };
}

/** Reads a stream: iterate over its chunks, once. Throws a BitstreamError. */
export class Reader implements Iterable<Chunk | LostChunk> {
  /** With `conceal`, damaged chunks come as lost ones and reading goes on. */
  constructor(bytes: Uint8Array, options?: {entropy?: EntropyModel | null; conceal?: boolean});
  readonly header: Header;
  readonly headerBytes: number;
  /** Frames of the chunks that have been handed out. */
  readonly frameCount: number;
  /** Samples of each part that has ended. A decoder starts anew with each. */
  readonly parts: number[];
  /** Bytes after the end that belong to no stream. */
  readonly trailing: number;
  [Symbol.iterator](): Iterator<Chunk | LostChunk>;
}

/** Writes a stream strictly forwards. Throws a RangeError for codes that do not fit the header. */
export class Writer {
  /** `sink` takes the header and then each chunk as soon as it is full; `bytes` has them otherwise. */
  constructor(
    header: Header,
    options?: {entropy?: EntropyModel | null; sink?: ((piece: Uint8Array) => void) | null},
  );
  readonly header: Header;
  /** Bytes so far. */
  readonly size: number;
  /** Append frames of at most `levels` codes; a chunk ends where `levels` changes. */
  write(frames: Iterable<ArrayLike<number>> & {length: number}, levels?: number): void;
  /** End a part of exactly so many samples; unless it is the last, another may follow. */
  finish(samples: number, last?: boolean): void;
  bytes(): Uint8Array;
}

/** Frames per chunk for a file: at least a second and 1,000 bytes of codes, at most 20 seconds. */
export function defaultChunkFrames(bitsPerFrame: number, frameRate: number): number;

/** A sink for a Writer: gives each chunk, in a packet, to `send`, and the header now and then. */
export function packetSink(send: (packet: Uint8Array) => void): (piece: Uint8Array) => void;

/** Puts the chunks of packets in order, through losses, repetitions and damage. */
export class PacketReader {
  /** A chunk is given up when more than `jitter` later ones are there. */
  constructor(options?: {entropy?: EntropyModel | null; jitter?: number});
  /** Null until a packet with one has come. */
  readonly header: Header | null;
  readonly frameCount: number;
  readonly ended: boolean;
  /** Take a packet; returns the chunks, lost ones too, whose turn it is. */
  push(packet: Uint8Array): (Chunk | LostChunk)[];
  /** What still waits, when no packet follows. */
  flush(): (Chunk | LostChunk)[];
}

/** Arrays and metadata of a safetensors file; F16 comes as Float32Array. */
export function readSafetensors(bytes: Uint8Array): {
  tensors: Record<
    string,
    {
      dtype: string;
      shape: number[];
      data: Int8Array | Uint8Array | Int32Array | Float32Array | Float64Array;
    }
  >;
  metadata: Record<string, string>;
};

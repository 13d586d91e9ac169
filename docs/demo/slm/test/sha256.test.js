import assert from "node:assert/strict";
import {createHash} from "node:crypto";
import {test} from "node:test";

import {sha256} from "../src/sha256.js";

test("digests of every length of a block are those of Node", () => {
  for (let size = 0; size < 200; size++) {
    const bytes = Uint8Array.from({length: size}, (_, i) => (i * 89) ^ size);
    assert.deepEqual(sha256(bytes), new Uint8Array(createHash("sha256").update(bytes).digest()));
  }
});

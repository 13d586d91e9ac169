#!/usr/bin/env bash
# docs/demo/build.sh OUT   the page and all that it loads, into OUT: the codec as ONNX graphs, and
#                          onnxruntime-web from npm, at the version of package-lock.json
# PYTHON=... names the interpreter that has speechlm with its extra onnx.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:?usage: docs/demo/build.sh OUT}
python=${PYTHON:-python3}

command -v npm >/dev/null || { echo "error: npm is missing: make system-deps" >&2; exit 1; }
mkdir -p "$out/ort" "$out/model" "$root/build/demo"
cp "$here"/{index.html,style.css} "$out"
cp -R "$here/js" "$out"
mkdir -p "$out/slm"
cp -R "$here/slm/src" "$out/slm"

cp "$here"/package*.json "$root/build/demo"
npm ci --prefix "$root/build/demo" --ignore-scripts --no-audit --no-fund --prefer-offline --loglevel error
cp "$root"/build/demo/node_modules/onnxruntime-web/dist/{ort.wasm.min.mjs,ort-wasm-simd-threaded.mjs,ort-wasm-simd-threaded.wasm} "$out/ort"

"$python" -m speechlm export web "$out/model"
cp "$root/speechlm/assets/sample.flac" "$out/model"

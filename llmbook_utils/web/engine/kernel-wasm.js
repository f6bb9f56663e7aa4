/**
 * The product of matrix and vectors, GELU and attention with WebAssembly's SIMD instructions: the
 * same as kernel-plain.js, several times as fast. kernel.wat is its text; the bytes below are what
 * `wat2wasm` makes of it.
 */
import { attend as plainAttend } from "./kernel-plain.js";

const CODE = [
  "AGFzbQEAAAABXQxgAXsBfWAGf397e3t7AGADf39/AXtgBX9/f39/AGAGf39/f39/AGAHf39/f39/fwBgAXsBe2ACf38AYAZ/f39/f30AYAJ/fw",
  "F9YAR/f39/AXtgCH9/f39/f399AAIQAQRwYWdlBm1lbW9yeQIAAQMODQABAgMEBQYHCAkJCgsHGgMGbGluZWFyAAUEZ2VsdQAHBmF0dGVuZAAM",
  "Cu0LDRkAIAD9HwAgAP0fAZIgAP0fAiAA/R8DkpILPgAgACABKgIAIAIQAJI4AgAgACABKgIEIAMQAJI4AgQgACABKgIIIAQQAJI4AgggACABKg",
  "IMIAUQAJI4AgwLzAECAX8EeyAAIAJqIQMCQANAIABBwABqIANLDQEgBCAA/QAEACAB/QAEAP3mAf3kASEEIAUgAP0ABBAgAf0ABBD95gH95AEh",
  "BSAGIAD9AAQgIAH9AAQg/eYB/eQBIQYgByAA/QAEMCAB/QAEMP3mAf3kASEHIABBwABqIQAgAUHAAGohAQwACwsCQANAIAAgA08NASAEIAD9AA",
  "QAIAH9AAQA/eYB/eQBIQQgAEEQaiEAIAFBEGohAQwACwsgBCAF/eQBIAYgB/3kAf3kAQs3ACAAIAMgASACIAQQAiABIAIgBGoiAiAEEAIgASAC",
  "IARqIgIgBBACIAEgAiAEaiICIAQQAhABC/YBAgJ/C3sgAiAFaiEGA0AgAv0ABAAhCSACIAVq/QAEACEOIAMiB/0ABAAhCCAKIAkgCP3mAf3kAS",
  "EKIA8gDiAI/eYB/eQBIQ8gByAFaiIH/QAEACEIIAsgCSAI/eYB/eQBIQsgECAOIAj95gH95AEhECAHIAVqIgf9AAQAIQggDCAJIAj95gH95AEh",
  "DCARIA4gCP3mAf3kASERIAcgBWoiB/0ABAAhCCANIAkgCP3mAf3kASENIBIgDiAI/eYB/eQBIRIgA0EQaiEDIAJBEGoiAiAGSQ0ACyAAIAQgCi",
  "ALIAwgDRABIAAgAWogBCAPIBAgESASEAELiwEBBX8gBkECdCEHIAVBAnQhCANAIAAhCiABIQsgAiEJAkADQCAJQQJJDQEgCiAIIAsgAyAEIAcQ",
  "BCAKIAhBAXRqIQogCyAHQQF0aiELIAlBAmshCQwACwsgCQRAIAogCyADIAQgBxADCyADIAdBAnRqIQMgBEEQaiEEIABBEGohACAFQQRrIgUNAA",
  "sLlQIBAnsgAP0MAAD8wgAA/MIAAPzCAAD8wv3pASEAIAD9DAAA/EIAAPxCAAD8QgAA/EL96AEhACAA/WohASAAIAH95QEhAv0MAACAPwAAgD8A",
  "AIA/AACAPyAC/QwYcjE/GHIxPxhyMT8YcjE/IAL9DPD9dT7w/XU+8P11PvD9dT4gAv0MR1hjPUdYYz1HWGM9R1hjPSAC/QxblR08W5UdPFuVHT",
  "xblR08IAL9DP/Drjr/w646/8OuOv/DrjogAv0MiYQhOYmEITmJhCE5iYQhOf3mAf3kAf3mAf3kAf3mAf3kAf3mAf3kAf3mAf3kAf3mAf3kASAB",
  "/fgB/Qx/AAAAfwAAAH8AAAB/AAAA/a4BQRf9qwH95gELfwIBfwF7IAAgAUECdGohAgNAIAD9AAQAIQMgACAD/QwAAIA/AACAPwAAgD8AAIA/IA",
  "P9DGFXE8BhVxPAYVcTwGFXE8D9DOjT0r3o09K96NPSvejT0r0gAyAD/eYB/eYB/eQB/eYBEAb95AH95wH9CwQAIABBEGoiACACSQ0ACwsqAANA",
  "IAAgBSACIAMgBBACEACUOAIAIAMgBGohAyAAQQRqIgAgAUkNAAsLPwEBeyAA/QAEACECA0AgAiAA/QAEAP3pASECIABBEGoiACABSQ0ACyAC/R",
  "8AIAL9HwGXIAL9HwIgAv0fA5eXC3cBA3sCQANAIAFBD3FFDQEgAUMAAID/OAIAIAFBBGohAQwACwsgACABEAn9EyECA0AgAP0ABAAgAv3lAf0M",
  "O6q4PzuquD87qrg/O6q4P/3mARAGIQMgACAD/QsEACAEIAP95AEhBCAAQRBqIgAgAUkNAAsgBBAACzIBAXsDQCAEIAD9CQIAIAL9AAQA/eYB/e",
  "QBIQQgAiADaiECIABBBGoiACABSQ0ACyAEC1oCAn8BeyAEIAVBAnRqIQggACAGaiEJIAQgCCABIAIgBiAHEAggBCAIEAr9EyEKA0AgACAEIAgg",
  "AyAGEAsgCv3nAf0LBAAgA0EQaiEDIABBEGoiACAJSQ0ACws=",
].join("");

const PAGE = 65_536; // bytes
const ALIGNED = 4; // numbers: a place for each begins at 16 bytes, and ends there

/**
 * A kernel with its own memory, large enough for `alloc` of `n` numbers in `pieces` pieces; an
 * error where the browser has no SIMD or not that much memory. Columns must be a multiple of 4, and
 * rows too where there are several vectors; for one, the room after `out`, `weight` and `bias` is
 * read or written up to the next multiple, as after `gelu`'s numbers.
 * @param {number} n
 * @param {number} pieces
 * @returns {Promise<import("./kernel-plain.js").Kernel>}
 */
export async function wasmKernel(n, pieces) {
  const memory = new WebAssembly.Memory({
    initial: Math.ceil((4 * (n + ALIGNED * pieces)) / PAGE),
  });
  const bytes = Uint8Array.from(atob(CODE), (character) => character.charCodeAt(0));
  const { instance } = /** @type {any} */ (
    await WebAssembly.instantiate(bytes, { page: { memory } })
  );
  let used = 0;
  const alloc = (length) => {
    const array = new Float32Array(memory.buffer, 4 * used, length);
    used += Math.ceil(length / ALIGNED) * ALIGNED;
    return array;
  };
  const at = (array) => array.byteOffset;
  const linear = (out, x, n, { weight, bias, rows, cols }) =>
    instance.exports.linear(at(out), at(x), n, at(weight), at(bias), Math.ceil(rows / 4) * 4, cols);
  const gelu = (x, n) => instance.exports.gelu(at(x), n);
  const attend = (out, outAt, q, qAt, keys, values, from, n, D, scores) => {
    if (D % ALIGNED) return plainAttend(out, outAt, q, qAt, keys, values, from, n, D, scores);
    const [head, scale] = [4 * from, 1 / Math.sqrt(D)];
    instance.exports.attend(
      at(out) + 4 * outAt,
      at(q) + 4 * qAt,
      at(keys) + head,
      at(values) + head,
      at(scores),
      n,
      4 * D,
      scale,
    );
  };
  return { name: "WebAssembly", alloc, linear, gelu, attend };
}

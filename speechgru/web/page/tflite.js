// The few numbers of a .tflite file that say how long a recording is.

// Fields of the tables of TensorFlow Lite's schema (tensorflow/lite/schema/schema.fbs).
const MODEL = {subgraphs: 2, signatures: 7};
const SIGNATURE = {inputs: 0, outputs: 1, key: 2, subgraph: 4};
const TENSOR_MAP = {tensor: 1};
const SUBGRAPH = {tensors: 0};
const TENSOR = {shape: 0, shapeSignature: 7};

/** Reads a flatbuffer by hand: tables with fields, vectors, texts. */
class Flatbuffer {
  constructor(bytes) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.bytes = bytes;
  }

  follow(at) {
    return at + this.view.getUint32(at, true);
  }

  /** Where a table has a field; 0 where it has none. */
  field(table, number) {
    const fields = table - this.view.getInt32(table, true), at = 4 + 2 * number;
    const offset = at < this.view.getUint16(fields, true) ? this.view.getUint16(fields + at, true) : 0;
    return offset ? table + offset : 0;
  }

  /** Where the entries of a field's vector begin, and how many there are. */
  vector(table, number) {
    const place = this.field(table, number);
    if (!place) return [0, 0];
    const at = this.follow(place);
    return [at + 4, this.view.getUint32(at, true)];
  }

  /** The table that is entry `index` of a field's vector. */
  tableIn(table, number, index) {
    return this.follow(this.vector(table, number)[0] + 4 * index);
  }

  number(table, field) {
    const at = this.field(table, field);
    return at ? this.view.getUint32(at, true) : 0;
  }

  text(table, number) {
    const [at, count] = this.vector(table, number);
    return new TextDecoder().decode(this.bytes.subarray(at, at + count));
  }
}

/**
 * A copy of a model whose signature `recognize` takes recordings of one length.
 *
 * LiteRT.js takes no input of unknown length, so the numbers of the file that say [1, any] are set before it is loaded.
 *
 * @param {Uint8Array} bytes the file
 * @param {number} numSamples of the recording
 * @param {number} numSteps that the model gives for it
 */
export function ofLength(bytes, numSamples, numSteps) {
  bytes = bytes.slice();
  const file = new Flatbuffer(bytes), model = file.follow(0);
  for (let index = 0; index < file.vector(model, MODEL.signatures)[1]; index++) {
    const signature = file.tableIn(model, MODEL.signatures, index);
    if (file.text(signature, SIGNATURE.key) !== 'recognize') continue;
    const subgraph = file.tableIn(model, MODEL.subgraphs, file.number(signature, SIGNATURE.subgraph));
    for (const [side, length] of [[SIGNATURE.inputs, numSamples], [SIGNATURE.outputs, numSteps]]) {
      const map = file.tableIn(signature, side, 0);
      const tensor = file.tableIn(subgraph, SUBGRAPH.tensors, file.number(map, TENSOR_MAP.tensor));
      for (const shape of [TENSOR.shape, TENSOR.shapeSignature]) {
        const [at, rank] = file.vector(tensor, shape);
        if (rank > 1) file.view.setInt32(at + 4, length, true);
      }
    }
    return bytes;
  }
  throw new Error('the model has no signature "recognize"; export the bundle again');
}

// Hands on what the microphone gives, a few blocks of 128 samples at a time.
const SIZE = 512;

registerProcessor('speechgru-tap', class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Float32Array(SIZE);
    this.count = 0;
  }

  process(inputs) {
    const block = inputs[0][0];
    if (!block) return true;
    this.samples.set(block, this.count);
    this.count += block.length;
    if (this.count === SIZE) {
      this.port.postMessage(this.samples.slice());
      this.count = 0;
    }
    return true;
  }
});

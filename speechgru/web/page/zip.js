// A ZIP archive of files that are not compressed (PKWARE's APPNOTE, sections 4.3.7, 4.3.12 and 4.3.16).

const TABLE = Uint32Array.from({length: 256}, (_, number) => {
  for (let bit = 0; bit < 8; bit++) number = number & 1 ? (number >>> 1) ^ 0xedb88320 : number >>> 1;
  return number;
});

function checksum(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

const NAMES_ARE_UTF8 = 0x800, NEW_YEAR_1980 = 0x21;

/** @param {Array<[string, Uint8Array]>} files names with slashes, and contents @returns {Blob} */
export function zip(files) {
  const parts = [], directory = [];
  let offset = 0, directorySize = 0;
  for (const [name, content] of files) {
    const named = new TextEncoder().encode(name);
    // Version 2.0, UTF-8 names, stored, no time, the checksum, the size twice, the length of the name, no more fields.
    const facts = [[2, 20], [2, NAMES_ARE_UTF8], [2, 0], [2, 0], [2, NEW_YEAR_1980], [4, checksum(content)],
      [4, content.length], [4, content.length], [2, named.length], [2, 0]];
    const local = packed([[4, 0x04034b50], ...facts]);
    parts.push(local, named, content);
    const entry = packed([[4, 0x02014b50], [2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]);
    directory.push(entry, named);
    directorySize += entry.length + named.length;
    offset += local.length + named.length + content.length;
  }
  const end = packed([[4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, directorySize],
    [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end], {type: 'application/zip'});
}

/** Numbers of 2 or 4 bytes, the lowest byte first. */
function packed(numbers) {
  const bytes = [];
  for (const [size, number] of numbers) {
    for (let byte = 0; byte < size; byte++) bytes.push(Math.floor(number / 256 ** byte) % 256);
  }
  return Uint8Array.from(bytes);
}

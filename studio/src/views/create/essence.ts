// The part of a file that holds its settings: pictures themselves need not travel.

const PNG = [0x89, 0x50, 0x4e, 0x47];
const MOST_PARTS = 1000;

async function bytesOf(file: Blob, from: number, count: number): Promise<DataView> {
  return new DataView(await file.slice(from, from + count).arrayBuffer());
}

const nameAt = (view: DataView, at: number): string =>
  String.fromCharCode(...[0, 1, 2, 3].map((index) => view.getUint8(at + index)));

/** A PNG up to its pixels. */
async function pngHead(file: Blob): Promise<Blob> {
  let at = 8;
  for (let part = 0; part < MOST_PARTS && at + 8 <= file.size; part++) {
    const head = await bytesOf(file, at, 8);
    if (nameAt(head, 4) === "IDAT") return file.slice(0, at, file.type);
    at += head.getUint32(0) + 12;
  }
  return file;
}

/** The boxes of an MP4 that say what it is and what it was made with. */
async function mp4Boxes(file: Blob): Promise<Blob> {
  const boxes: Blob[] = [];
  let at = 0;
  for (let part = 0; part < MOST_PARTS && at + 8 <= file.size; part++) {
    const head = await bytesOf(file, at, 16);
    const short = head.getUint32(0);
    const isLong = short === 1 && head.byteLength === 16;
    const size = short === 0 ? file.size - at : isLong ? Number(head.getBigUint64(8)) : short;
    if (size < 8) return file;
    if (["ftyp", "moov"].includes(nameAt(head, 4))) boxes.push(file.slice(at, at + size));
    at += size;
  }
  return boxes.length > 1 ? new Blob(boxes, { type: file.type }) : file;
}

/** What is enough to read a file's settings; what is neither PNG nor MP4 stays as it is. */
export async function essence(file: Blob): Promise<Blob> {
  if (file.size < 16) return file;
  const head = await bytesOf(file, 0, 8);
  if (PNG.every((byte, index) => head.getUint8(index) === byte)) return pngHead(file);
  if (nameAt(head, 4) === "ftyp") return mp4Boxes(file);
  return file;
}

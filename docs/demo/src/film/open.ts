import { FilmError, type StoredFilm } from "./film";
import { isJpeg, readJpeg } from "./jpeg";
import { isPng, readPng } from "./png";

const PREAMBLE = 128;

/** Read a film of any supported format, which its content tells, not its name. */
export async function openFilm(name: string, bytes: Uint8Array): Promise<StoredFilm> {
  const film = await read(name, bytes);
  if (film.values.some((value) => !Number.isFinite(value))) {
    throw new FilmError(`${name}: holds NaN or infinite values`);
  }
  return film;
}

async function read(name: string, bytes: Uint8Array): Promise<StoredFilm> {
  try {
    if (isPng(bytes)) return readPng(name, bytes);
    if (isJpeg(bytes)) return await readJpeg(name, bytes);
    if (isDicom(name, bytes)) {
      const { readDicom } = await import("./dicom/read");
      return await readDicom(name, bytes);
    }
  } catch (error) {
    throw readingError(name, error);
  }
  throw new FilmError(`${name}: is no PNG, JPEG or DICOM file`);
}

function isDicom(name: string, bytes: Uint8Array): boolean {
  const magic = String.fromCharCode(...bytes.subarray(PREAMBLE, PREAMBLE + 4));
  if (magic === "DICM" || /\.(dcm|dicom)$/i.test(name)) return true;
  // Files without preamble begin with a data element of a low group
  return bytes.length > 8 && [0x02, 0x08].includes(bytes[0]!) && bytes[1] === 0 && bytes[3] === 0;
}

/** What a decoder says about a damaged file, with the file's name in front; memory is another matter. */
function readingError(name: string, error: unknown): unknown {
  if (error instanceof FilmError || outOfMemory(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new FilmError(`${name}: cannot be read as an image (${message.split("\n")[0]})`);
}

/** Whether an error says that there is no memory left, in the words of the browsers and of ONNX Runtime. */
export function outOfMemory(error: unknown): boolean {
  const message = error instanceof Error ? error.message : String(error);
  return /allocation failed|out of memory|bad_alloc|invalid (typed )?array (buffer )?length|could not allocate/i.test(
    message,
  );
}

import dicomParser, { type DataSet, type Element } from "dicom-parser";
import { inflateSync } from "fflate";

/** The attributes that a film needs, by DICOM's keyword (PS3.6). */
const TAGS = {
  TransferSyntaxUID: "x00020010",
  SOPClassUID: "x00080016",
  Modality: "x00080060",
  PresentationIntentType: "x00080068",
  EstimatedRadiographicMagnificationFactor: "x00181114",
  ImagerPixelSpacing: "x00181164",
  ShutterShape: "x00181600",
  ShutterLeftVerticalEdge: "x00181602",
  ShutterRightVerticalEdge: "x00181604",
  ShutterUpperHorizontalEdge: "x00181606",
  ShutterLowerHorizontalEdge: "x00181608",
  CenterOfCircularShutter: "x00181610",
  RadiusOfCircularShutter: "x00181612",
  VerticesOfThePolygonalShutter: "x00181620",
  CollimatorShape: "x00181700",
  CollimatorLeftVerticalEdge: "x00181702",
  CollimatorRightVerticalEdge: "x00181704",
  CollimatorUpperHorizontalEdge: "x00181706",
  CollimatorLowerHorizontalEdge: "x00181708",
  CenterOfCircularCollimator: "x00181710",
  RadiusOfCircularCollimator: "x00181712",
  VerticesOfThePolygonalCollimator: "x00181720",
  NominalScannedPixelSpacing: "x00182010",
  PatientOrientation: "x00200020",
  ImageOrientationPatient: "x00200037",
  SamplesPerPixel: "x00280002",
  PhotometricInterpretation: "x00280004",
  PlanarConfiguration: "x00280006",
  NumberOfFrames: "x00280008",
  Rows: "x00280010",
  Columns: "x00280011",
  PixelSpacing: "x00280030",
  PixelAspectRatio: "x00280034",
  BitsAllocated: "x00280100",
  BitsStored: "x00280101",
  HighBit: "x00280102",
  PixelRepresentation: "x00280103",
  PixelPaddingValue: "x00280120",
  PixelPaddingRangeLimit: "x00280121",
  PixelIntensityRelationship: "x00281040",
  PixelIntensityRelationshipSign: "x00281041",
  WindowCenter: "x00281050",
  WindowWidth: "x00281051",
  RescaleIntercept: "x00281052",
  RescaleSlope: "x00281053",
  VOILUTFunction: "x00281056",
  RedPaletteColorLookupTableDescriptor: "x00281101",
  GreenPaletteColorLookupTableDescriptor: "x00281102",
  BluePaletteColorLookupTableDescriptor: "x00281103",
  RedPaletteColorLookupTableData: "x00281201",
  GreenPaletteColorLookupTableData: "x00281202",
  BluePaletteColorLookupTableData: "x00281203",
  ModalityLUTSequence: "x00283000",
  LUTDescriptor: "x00283002",
  LUTData: "x00283006",
  VOILUTSequence: "x00283010",
  PresentationLUTShape: "x20500020",
  PixelData: "x7fe00010",
} as const;
export type Keyword = keyof typeof TAGS;

const BINARY = new Set<Keyword>([
  "SamplesPerPixel",
  "PlanarConfiguration",
  "Rows",
  "Columns",
  "BitsAllocated",
  "BitsStored",
  "HighBit",
  "PixelRepresentation",
]);

export const IMPLICIT = "1.2.840.10008.1.2";
export const EXPLICIT = "1.2.840.10008.1.2.1";
export const BIG_ENDIAN = "1.2.840.10008.1.2.2";

/** Values of a DICOM data set by keyword. */
export class Dataset {
  constructor(
    readonly source: DataSet,
    readonly syntax: string,
  ) {}

  has(keyword: Keyword): boolean {
    return TAGS[keyword] in this.source.elements;
  }

  element(keyword: Keyword): Element | undefined {
    return this.source.elements[TAGS[keyword]];
  }

  /** The values of a text attribute; none where it is missing or empty. */
  strings(keyword: Keyword): string[] {
    const text = this.source.string(TAGS[keyword]);
    return text ? text.split("\\").map((value) => value.trim()) : [];
  }

  /** The first value of a text attribute, or "". */
  string(keyword: Keyword): string {
    return this.strings(keyword)[0] ?? "";
  }

  /** The first value of a number, or null where it is missing or empty. */
  number(keyword: Keyword): number | null {
    if (BINARY.has(keyword)) return this.source.uint16(TAGS[keyword]) ?? null;
    const text = this.string(keyword);
    return text === "" || Number.isNaN(Number(text)) ? null : Number(text);
  }

  /** A signed 16-bit number, or null where it is missing or empty. */
  signed(keyword: Keyword): number | null {
    return (this.element(keyword)?.length ?? 0) >= 2 ? (this.source.int16(TAGS[keyword]) ?? null) : null;
  }

  /** A 16-bit number whose sign follows its value representation, or else the pixels'. */
  ambiguous(keyword: Keyword, index = 0): number | null {
    const element = this.element(keyword);
    if (!element || element.length < 2 * (index + 1)) return null;
    const signed = element.vr ? element.vr === "SS" : this.source.uint16(TAGS.PixelRepresentation) === 1;
    const value = signed ? this.source.int16(TAGS[keyword], index) : this.source.uint16(TAGS[keyword], index);
    return value ?? null;
  }

  /** The values of a text attribute as numbers; NaN where one is none. */
  numbers(keyword: Keyword): number[] {
    return this.strings(keyword).map((text) => (text === "" ? NaN : Number(text)));
  }

  /** 16-bit words of an attribute. */
  words(keyword: Keyword): Uint16Array {
    const count = (this.element(keyword)?.length ?? 0) >> 1;
    return Uint16Array.from({ length: count }, (_, i) => this.source.uint16(TAGS[keyword], i) ?? 0);
  }

  /** The bytes of an attribute as they stand in the file. */
  bytes(keyword: Keyword): Uint8Array {
    const element = this.element(keyword);
    if (!element) return new Uint8Array(0);
    return this.source.byteArray.subarray(element.dataOffset, element.dataOffset + element.length) as Uint8Array;
  }

  /** The items of a sequence; none where it is missing. */
  items(keyword: Keyword): Dataset[] {
    const items = this.element(keyword)?.items ?? [];
    return items.flatMap(({ dataSet }) => (dataSet ? [new Dataset(dataSet, this.syntax)] : []));
  }
}

/** Parse a DICOM file; files without preamble and without meta information are read, too. */
export function parse(bytes: Uint8Array): Dataset {
  const hasPreamble = String.fromCharCode(...bytes.subarray(128, 132)) === "DICM";
  const startsWithMeta = bytes[0] === 2 && bytes[1] === 0;
  let content = bytes;
  if (!hasPreamble && startsWithMeta) {
    content = new Uint8Array(bytes.length + 132);
    content.set([0x44, 0x49, 0x43, 0x4d], 128);
    content.set(bytes, 132);
  }
  const syntax = hasPreamble || startsWithMeta ? undefined : plainSyntax(bytes);
  const source = dicomParser.parseDicom(content, { TransferSyntaxUID: syntax, inflater } as object);
  return new Dataset(source, source.string(TAGS.TransferSyntaxUID) ?? syntax ?? IMPLICIT);
}

/** What a data set without meta information is written in: explicit ones name the value representation. */
function plainSyntax(bytes: Uint8Array): string {
  return /^[A-Z]{2}$/.test(String.fromCharCode(bytes[4]!, bytes[5]!)) ? EXPLICIT : IMPLICIT;
}

function inflater(bytes: Uint8Array, position: number): Uint8Array {
  const inflated = inflateSync(bytes.subarray(position));
  const content = new Uint8Array(position + inflated.length);
  content.set(bytes.subarray(0, position));
  content.set(inflated, position);
  return content;
}

/**
 * Where a published file is, with its checksum, so that a new version is another address.
 * @param {{file: string, crc32: number}} published
 */
export const addressOf = ({ file, crc32 }) =>
  new URL(`${file}?${crc32.toString(16)}`, new URL("../", import.meta.url));

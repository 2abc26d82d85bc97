// Files that a user chooses, drops or pastes.

/** Limit on the files of a folder. */
const MAX_FILES = 10_000;

const IMAGES = /\.(jpe?g|png|webp|gif|bmp|avif|tiff?)$/i;

/** @param {File} file */
const isImage = (file) => file.type.startsWith('image/') || IMAGES.test(file.name);

/** Sorts as people count: 2.png before 10.png. */
const order = new Intl.Collator('en', { numeric: true });

/**
 * @param {Iterable<File>} files
 * @returns {File[]} the images among them, in the order of their paths
 */
export function imagesOf(files) {
  const path = (/** @type {File} */ file) => file.webkitRelativePath || file.name;
  return [...files]
    .filter((file) => isImage(file) && !file.name.startsWith('.'))
    .sort((a, b) => order.compare(path(a), path(b)));
}

/**
 * @param {DataTransfer | null} data of a drop; it is read before this call returns
 * @returns {Promise<{ files: File[], isFolder: boolean }>} its files, with those in folders
 */
export async function filesOf(data) {
  const entries = [...(data?.items ?? [])].map((item) => item.webkitGetAsEntry?.() ?? null);
  const files = [...(data?.files ?? [])];
  if (!entries.some((entry) => entry?.isDirectory)) return { files, isFolder: false };
  /** @type {File[]} */
  const found = [];
  for (const entry of entries) if (entry) await collect(entry, found);
  return { files: found, isFolder: true };
}

/**
 * @param {FileSystemEntry} entry
 * @param {File[]} found files are appended to it
 */
async function collect(entry, found) {
  if (found.length >= MAX_FILES) return;
  if (entry.isFile) {
    const file = /** @type {FileSystemFileEntry} */ (entry);
    found.push(await new Promise((resolve, reject) => file.file(resolve, reject)));
  } else if (entry.isDirectory) {
    const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
    /** @type {FileSystemEntry[]} */
    const all = [];
    for (;;) {
      /** @type {FileSystemEntry[]} */
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) break;
      all.push(...some);
    }
    all.sort((a, b) => order.compare(a.name, b.name));
    for (const one of all) await collect(one, found);
  }
}

// Room in the browser's storage.

import { hideBanner, showBanner } from './banners.js';
import { fileSize } from './dom.js';

/** The user is warned if fewer images than this fit, or less than these bytes. */
const IMAGES_LEFT = 10;
const BYTES_LEFT = 50e6;

/** @typedef {{ usage: number, quota: number }} Room in bytes */

/** @returns {Promise<Room | null>} null: the browser does not say */
export async function measureRoom() {
  const { usage, quota } = (await navigator.storage?.estimate?.().catch(() => null)) ?? {};
  return usage === undefined || quota === undefined ? null : { usage, quota };
}

/** @returns {Promise<boolean>} whether the browser promises to keep everything until the user deletes it */
export async function isPersistent() {
  return (await navigator.storage?.persisted?.().catch(() => false)) ?? false;
}

let asked = false;

/** Ask the browser to delete nothing of this page when the disk is full. Some browsers ask the user. */
export async function askToPersist() {
  if (asked) return;
  asked = true;
  if (!(await isPersistent())) await navigator.storage?.persist?.().catch(() => false);
}

let dismissed = false;

/**
 * Warn if the storage is nearly full.
 *
 * @param {number} bytes of an image with its label map
 * @param {number} free bytes that the page deletes by itself: images without work
 * @param {Record<string, () => unknown>} actions of the warning
 */
export async function warnOfLittleRoom(bytes, free, actions) {
  const room = await measureRoom();
  if (!room) return;
  const left = Math.max(0, room.quota - room.usage) + free;
  if (left >= Math.max(IMAGES_LEFT * bytes, BYTES_LEFT)) {
    hideBanner('room');
  } else if (!dismissed) {
    const dismiss = () => {
      dismissed = true;
      hideBanner('room');
    };
    const text = `The browser's storage is nearly full: ${fileSize(left)} are left. Save a project file, or delete images.`;
    showBanner('room', text, { ...actions, Dismiss: dismiss }, 'status');
  }
}

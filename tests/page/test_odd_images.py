"""What Chromium shows of odd files: the outcomes that the server's tests expect are Chromium's own."""

import base64

import numpy as np
from playwright.sync_api import Browser

from tests.service.odd_images import odd_images, outcome_of

DECODE = """async (files) => {
  const results = [];
  for (const file of files) {
    const bytes = Uint8Array.from(atob(file), (c) => c.charCodeAt(0));
    try {
      const image = await createImageBitmap(new Blob([bytes]));
      const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, image.width, image.height);
      results.push([image.width, image.height, Array.from(data)]);
    } catch {
      results.push(null);
    }
  }
  return results;
}"""


def test_chromium_shows_what_the_server_reads(browser: Browser) -> None:
    page = browser.new_page()
    files = [base64.b64encode(odd.data).decode() for odd in odd_images().values()]
    results = page.evaluate(DECODE, files)
    page.close()
    shown = {
        name: result and outcome_of(np.array(result[2], np.uint8).reshape(result[1], result[0], 4))
        for name, result in zip(odd_images(), results, strict=True)
    }
    assert shown == {name: odd.browser_outcome for name, odd in odd_images().items()}

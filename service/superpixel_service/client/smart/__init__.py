"""Smart select: one click takes an object, in whole superpixels.

```
smart = SmartSelect(result, 2400, image)          # a Segmentation or LabelMap with its hierarchy
chosen = smart.click(310, 145)                    # (n,) regions of the level that would change
smart.accept()                                    # take them into the object
smart.click(280, 200, positive=False)             # take something away
```

frontend/src/smart does the same in the browser, region by region. docs/smart-select.md describes both.
"""

from superpixel_service.client.smart.scorer import Scorer
from superpixel_service.client.smart.select import SmartSelect

__all__ = ["Scorer", "SmartSelect"]

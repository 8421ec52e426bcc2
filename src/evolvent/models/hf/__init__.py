"""Models run by transformers in this process. Two nouns: weights (a loaded model), and a request on its way to them."""

import os

from evolvent.hub import without_telemetry

without_telemetry()

# Before torch is loaded: threads that wait for one another sleep instead of spinning. Where other processes want the
# cores too, spinning makes a small model five times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

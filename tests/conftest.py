"""What every test finds, whatever machine, terminal or shell starts it: settled here, before anything is imported."""

import os

# Threads that wait for one another on a busy machine make a step of a small model a hundred times as long, and workers
# of pytest-xdist are busy enough.
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
OF_A_TERMINAL = ("COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")

os.environ |= dict.fromkeys(ONE_THREAD, "1") | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
for name in OF_A_TERMINAL:
    os.environ.pop(name, None)

"""Say exactly which weights a folder holds, so that a stored reply is never taken for another model's."""

import hashlib

from evolvent.models.folders import Place

# Files that decide what a model answers; a README or a picture beside them does not.
DECISIVE = {".json", ".jinja", ".model", ".txt", ".py", ".tiktoken", ".safetensors", ".bin", ".pt"}
READ_WHOLE = 16 * 2**20


def fingerprint(place: Place) -> str:
    """A text that changes when the files that decide a model's replies do.

    Returns:
        The commit of a model on the Hub, which decides all its files wherever they are downloaded; else a hash in
        which small files count by content, large ones by name, size and time of change.

    Raises:
        OSError: a file cannot be read.
    """
    if place.commit:
        return place.commit
    digest = hashlib.sha256()
    for file in sorted(path for path in place.folder.iterdir() if path.suffix in DECISIVE and path.is_file()):
        about = file.stat()
        if about.st_size <= READ_WHOLE:
            mark = hashlib.sha256(file.read_bytes()).hexdigest()
        else:
            mark = f"{about.st_size} {int(about.st_mtime)}"
        digest.update(f"{file.name}\0{mark}\0".encode())
    return digest.hexdigest()

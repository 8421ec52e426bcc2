"""Object storage and the Hub (``s3://``, ``gs://``, ``hf://``): what is there is worked on in a copy on this node."""

"""Export: a training set as the data and the configuration that a trainer takes."""

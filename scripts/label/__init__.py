"""The bundle in MONAI Label: a server for annotators, and which film to label next."""

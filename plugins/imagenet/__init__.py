"""The ImageNet classifier that pocket and the detector share: its network and the names of its classes."""

"""Signatures of failures that are known: the shipped ones, and those of a configuration put before them."""

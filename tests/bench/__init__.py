"""Tests of the scripts of bench/: arguments, figures and slices, on made-up runs; two toys are trained."""

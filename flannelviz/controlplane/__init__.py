"""WRITES tables: one file for each program that really does."""

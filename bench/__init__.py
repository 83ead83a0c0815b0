"""What flannelviz costs, measured against its budgets: `make bench`, or `python -m bench [--quick] [group ...]`."""

"""The stores, behind one interface."""

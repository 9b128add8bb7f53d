"""The checklist over code: reads tasks of dutiful and of other job systems without importing them."""

"""Claims beyond the paper: what is ours, by its idea."""

"""One file a study: what is read of its runs, what is compared, and its verdict. Nothing below imports these."""

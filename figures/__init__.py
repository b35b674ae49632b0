"""The figures, one file each: it computes from theory and simulate, or reads results/, and draws. It never trains.

A figure's file has three functions: `compute` (the numbers), `rows` (the same numbers as the CSV holds them, one row
for each mark that is drawn) and `draw` (a matplotlib Figure). `figures.style.save` writes PDF, PNG and CSV.
"""

"""What the curves of a run say, in words: rules over its history, and one next step for each remark."""

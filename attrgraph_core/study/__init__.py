"""How a study is made honest: held-out samples, choices, paired comparisons."""

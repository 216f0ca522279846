"""a model + a few examples -> tuned weights: full tuning, linear probing, prompt tuning"""

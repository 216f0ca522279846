"""Labels -> scores: CLIP or SigLIP on crops and images; optional."""

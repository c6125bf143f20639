//! Class probabilities from prompts alone.

//! From pictures to CLIP image embeddings.

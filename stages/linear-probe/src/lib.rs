//! Multinomial logistic regression on embeddings.

//! Accuracy, log loss and confusion from predictions.

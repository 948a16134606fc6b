"""What can be told of training data from its files alone, as they stand, however they came to be so."""

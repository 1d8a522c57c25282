"""The built-in objectives and the data sets that they measure on."""

// Package clean applies declared rules to the records of a stream: rules that look at one record, and rules that need the whole source, such as
// duplicates, medians or outliers.
//
// Rules run in the order in which they are declared. One that needs the whole source sees what the rules before it have left, and those after it
// see what it has left. Before each such rule the records wait in a spool on disk, so a source may be larger than memory: columns of which quantiles
// are wanted, keys in which duplicates are sought and events of users are sorted in runs that are spilled and merged. Results
// are functions of the records and their order alone; the memory limit and the place of the files change speed only.
//
// # Quantiles
//
// Quantiles are exact, by definition 7 of Hyndman and Fan [hyndman1996], the default of numpy and R: of n ascending values x[0] to x[n-1] the
// quantile p is x[j] + g (x[j+1] - x[j]), where (n-1) p = j + g with the integer j and 0 <= g < 1. A median is that of p = 1/2.
// Standard deviations are those of the population, with the divisor n. MAD is the median of the absolute deviations from the
// median, not scaled.
//
// # Damage
//
// Temporary files are checked by magic, version and a checksum for each block, since a disk that lies would change results without
// notice. They are removed when Run returns.
package clean

// Package identity finds out which keys are one user and which are one product, and whose value counts where sources disagree.
//
// It has four parts, none of which reads files or knows formats:
//
//   - Links joins keys of several kinds (account, cookie, device; SKU, EAN) that were seen together, as connected components. Keys that
//     would glue strangers together, such as a device in a shop, are found and left out.
//   - Matcher scores pairs of accounts by their e-mail, phone, name and postcode, after Fellegi and Sunter [fellegi1969]. Values may be replaced
//     by keyed hashes.
//   - Titles finds products that are listed twice under titles written differently, by MinHash [broder1997].
//   - Rule settles a field of an entity that several sources report.
//
// Every result is a function of the set of what was added: it depends neither on the order nor on the machine. Where random numbers are used they
// are drawn from a seed.
package identity

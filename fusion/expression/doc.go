// Package expression evaluates the small expressions of mapping files over the values of a record: price / 100, or
// price > 0 and status != 'test'.
//
// The syntax is that of the library expr [github.com/expr-lang/expr], whose parser reads it. What runs is this package's: it knows only the
// operators and functions below, checks types before the first row, and gives a missing value its own rules. There is nothing in it that
// reaches outside, no variable, no loop and no recursion, so the time of an evaluation is bounded by the length of the expression times
// that of its texts; texts beyond MaxText are missing values.
//
//	numbers      + - * / % ** , comparisons, abs ceil floor round(x, digits) min max
//	texts        + , comparisons, contains startsWith endsWith matches (a constant pattern), lower upper trim len
//	             replace(text, old, new) split(text, separator, n) text[from:to] (characters, from 0)
//	truth        and or not, a ? b : c, == != in [constants]
//	moments      comparisons, year month day hour weekday (1 is Monday) unix (seconds), all in UTC
//	conversion   number(x) text(x) time(text): RFC 3339, or a date with the year first
//	missing      x ?? y is y where x is missing; x == nil; nil
//	names        of fields, or field('any name')
//
// An evaluation does not fail. Operators and functions of a missing value give a missing one, and so do a division by zero and a text that is no number.
// Equality compares a missing value as one of its own: status != 'test' holds where there is no status. Truth has three values: false and
// missing is false, true or missing is true.
package expression

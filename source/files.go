package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// File is one of the files of a source.
type File struct {
	// Name is the path below the folder or the fixed part of the pattern, with slashes; empty for a file that is named itself.
	Name string
	Path string
}

// Files returns the files that a path stands for, and whether they are those of a folder or pattern, and not the path itself:
//
//   - a file: itself, also if its name looks like a pattern;
//   - a folder: the files in it, but not in folders below, whose extension is that of a format that is read here, without hidden ones;
//   - a pattern: the files that match. *, ? and [a-z] stand for parts of a name, and ** for folders at any depth, none included. Hidden files and
//     folders match only what starts with a dot.
//
// They are ordered by name, bytewise. Links are followed if they lead to a file within the folder or the fixed part of the pattern; others are left out, and
// note, which may be nil, is told. No file is an error.
func Files(name string, note func(string)) (files []File, many bool, err error) {
	st, err := os.Stat(name)
	segments := []string{"*"}
	root := name
	switch {
	case err == nil && !st.IsDir():
		return []File{{Path: name}}, false, nil
	case err == nil:
	case !strings.ContainsAny(name, "*?["):
		return nil, false, err
	case !strings.ContainsAny(filepath.Clean(name), "*?["): // ".." leads out of all that is one
		return Files(filepath.Clean(name), note)
	default:
		root, segments = splitPattern(name)
	}
	for _, s := range segments {
		if _, err := path.Match(s, ""); err != nil {
			return nil, true, fmt.Errorf("files %s: %q is no pattern: %w", name, s, err)
		}
	}
	resolved, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, true, fmt.Errorf("files %s: %w", name, err)
	}
	w := walk{root: root, resolved: resolved, folder: st != nil, note: note, seen: map[string]bool{}}
	if err := w.match("", segments); err != nil {
		return nil, true, fmt.Errorf("files %s: %w", name, err)
	}
	if len(w.files) == 0 {
		if w.folder {
			return nil, true, fmt.Errorf("files %s: the folder has no file that ends in %s (or these with .gz, .zst): %w", name, strings.Join(extensions, ", "), fs.ErrNotExist)
		}
		return nil, true, fmt.Errorf("files %s: nothing below %s matches %s: %w", name, root, strings.Join(segments, "/"), fs.ErrNotExist)
	}
	slices.SortFunc(w.files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return w.files, true, nil
}

// extensions are those of files that are taken from a folder.
var extensions = []string{".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".jsonl", ".ndjson", ".parquet", ".pq"}

// splitPattern cuts a pattern into the folder that is fixed and the names below it. What ".." leads out of is resolved first.
func splitPattern(pattern string) (root string, segments []string) {
	segments = strings.Split(filepath.ToSlash(filepath.Clean(pattern)), "/")
	fixed := slices.IndexFunc(segments, func(s string) bool { return strings.ContainsAny(s, "*?[") })
	root = strings.Join(segments[:fixed], "/")
	switch {
	case root == "" && strings.HasPrefix(pattern, "/"):
		root = "/"
	case root == "":
		root = "."
	}
	return filepath.FromSlash(root), segments[fixed:]
}

// walk looks for files.
type walk struct {
	root     string
	resolved string // root without links
	folder   bool   // take files by extension
	note     func(string)
	files    []File
	seen     map[string]bool // names in files: ** may lead to one in several ways
}

// match adds the files below a folder that match the segments. Folder "" is the root.
func (w *walk) match(folder string, segments []string) error {
	entries, err := os.ReadDir(filepath.Join(w.root, filepath.FromSlash(folder)))
	if err != nil {
		return err
	}
	deep := segments[0] == "**"
	if deep && len(segments) > 1 {
		if err := w.match(folder, segments[1:]); err != nil {
			return err
		}
	}
	for _, e := range entries {
		name := path.Join(folder, e.Name())
		ok, err := path.Match(segments[0], e.Name())
		if err != nil {
			return err
		}
		if !ok && !deep || strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(segments[0], ".") {
			continue
		}
		switch {
		case e.IsDir() && deep:
			err = w.match(name, segments)
		case e.IsDir() && len(segments) > 1:
			err = w.match(name, segments[1:])
		case !e.IsDir() && len(segments) == 1:
			err = w.add(name, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds a file, unless it leads elsewhere or is of no format.
func (w *walk) add(name string, e fs.DirEntry) error {
	full := filepath.Join(w.root, filepath.FromSlash(name))
	if w.folder {
		ext := filepath.Ext(plainName(name))
		if !slices.Contains(extensions, ext) {
			return nil
		}
	}
	if e.Type()&fs.ModeSymlink != 0 {
		to, err := filepath.EvalSymlinks(full)
		if err != nil {
			w.skip(full, "it is a link that leads nowhere")
			return nil
		}
		if rel, err := filepath.Rel(w.resolved, to); err != nil || !filepath.IsLocal(rel) {
			w.skip(full, "it is a link to "+to+", outside of "+w.root)
			return nil
		}
	}
	st, err := os.Stat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist): // removed in between
		return nil
	case err != nil:
		return err
	case st.IsDir():
		w.skip(full, "it is a link to a folder")
		return nil
	case !st.Mode().IsRegular():
		w.skip(full, "it is no regular file")
		return nil
	}
	if !w.seen[name] {
		w.seen[name] = true
		w.files = append(w.files, File{Name: name, Path: full})
	}
	return nil
}

func (w *walk) skip(file, why string) {
	if w.note != nil {
		w.note(file + " is left out: " + why)
	}
}

// Checks a Sealdock evidence package with Go's own transparency log library and nothing of Sealdock's.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run data/tools/verify.go [-key VKEY] PACKAGE
//
//  1. data/checkpoint carries a signature of the key.
//  2. Every file in data/receipts is a c2sp.org/tlog-proof over exactly that checkpoint, and the entry in its
//     extra line is on the log at the stated index.
//  3. Every original that data/case.json names has the digest and size that its `ingest` entry names, and no other
//     file lies in data/originals.
//
// Exit codes: 0 all of that holds under -key; 1 something does not; 2 wrong use; 3 it holds under the key that
// lies in the package, which nothing confirms.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type entry struct {
	ID     string
	Type   string
	Object struct {
		SHA256 string
		Size   int64
	}
}

type packageFile struct {
	Recordings []struct{ ID, Path string }
}

var wrong int

func report(path string, err error) {
	wrong++
	fmt.Printf("WRONG  %s: %v\n", path, err)
}

func main() {
	vkey := flag.String("key", "", "the log's verifier key, from the bureau by another way than the package")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	root := flag.Arg(0)
	inside := firstLine(read(root, "data/log-key.txt"))
	key := *vkey
	if key == "" {
		key = inside
	} else if key != inside {
		report("data/log-key.txt", fmt.Errorf("it names another key than the one given"))
	}
	checkpoint := read(root, "data/checkpoint")
	tree, err := openCheckpoint(checkpoint, key)
	if err != nil {
		report("data/checkpoint", err)
		os.Exit(1)
	}
	entries := checkReceipts(root, checkpoint, tree)
	originals := checkOriginals(root, entries)
	fmt.Printf("%d entries of a log of %d, %d originals, %d findings\n", len(entries), tree.N, originals, wrong)
	switch {
	case wrong > 0:
		os.Exit(1)
	case *vkey == "":
		fmt.Printf("consistent under key %s, which nothing here confirms\n", key)
		os.Exit(3)
	}
	fmt.Println("all originals are on the log of the given key")
}

func read(root, path string) []byte {
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		report(path, err)
		os.Exit(1)
	}
	return content
}

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// openCheckpoint believes a checkpoint that the key signed and that speaks for the key's own log.
func openCheckpoint(signed []byte, vkey string) (tree tlog.Tree, err error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tree, fmt.Errorf("not a checkpoint of %s", verifier.Name())
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

func checkReceipts(root string, checkpoint []byte, tree tlog.Tree) map[string]entry {
	entries := map[string]entry{}
	paths, _ := filepath.Glob(filepath.Join(root, "data/receipts/*.tlog-proof"))
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			report(path, err)
			continue
		}
		found, err := checkReceipt(raw, checkpoint, tree)
		if err == nil && filepath.Base(path) != found.ID+".tlog-proof" {
			err = fmt.Errorf("it is the receipt of entry %s", found.ID)
		}
		if err != nil {
			report(path, err)
			continue
		}
		entries[found.ID] = found
	}
	return entries
}

// checkReceipt returns the entry in a receipt that is on the log.
func checkReceipt(raw, checkpoint []byte, tree tlog.Tree) (found entry, err error) {
	head, signed, ok := bytes.Cut(raw, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return found, fmt.Errorf("not a tlog-proof with an extra line")
	}
	if !bytes.Equal(signed, checkpoint) {
		return found, fmt.Errorf("its checkpoint is not data/checkpoint")
	}
	leaf, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return found, err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return found, err
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return found, err
		}
		proof = append(proof, hash)
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(leaf)); err != nil {
		return found, err
	}
	return found, json.Unmarshal(leaf, &found)
}

func checkOriginals(root string, entries map[string]entry) int {
	var contents packageFile
	if err := json.Unmarshal(read(root, "data/case.json"), &contents); err != nil {
		report("data/case.json", err)
	}
	named := map[string]bool{}
	for _, recording := range contents.Recordings {
		named[recording.Path] = true
		if err := checkOriginal(root, recording.Path, entries[recording.ID]); err != nil {
			report(recording.Path, err)
		}
	}
	files, _ := os.ReadDir(filepath.Join(root, "data/originals"))
	for _, file := range files {
		if path := "data/originals/" + file.Name(); !named[path] {
			report(path, fmt.Errorf("no recording in data/case.json"))
		}
	}
	return len(named)
}

func checkOriginal(root, path string, sealed entry) error {
	if !strings.HasPrefix(path, "data/originals/") || strings.Count(path, "/") != 2 {
		return fmt.Errorf("not a place for an original")
	}
	if sealed.Type != "ingest" {
		return fmt.Errorf("no receipt of a sealed recording")
	}
	status, err := os.Lstat(filepath.Join(root, path))
	if err != nil {
		return err
	}
	if !status.Mode().IsRegular() || status.Size() != sealed.Object.Size {
		return fmt.Errorf("not a file of %d bytes", sealed.Object.Size)
	}
	file, err := os.Open(filepath.Join(root, path))
	if err != nil {
		return err
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, file); err != nil {
		return err
	}
	if found := hex.EncodeToString(digest.Sum(nil)); found != sealed.Object.SHA256 {
		return fmt.Errorf("its digest is %s, the log says %s", found, sealed.Object.SHA256)
	}
	return nil
}

// Command verify checks a vault's log with the Go project's own packages (golang.org/x/mod/sumdb/note and tlog)
// and none of Sealdock's code.
//
//	go run verify.go VAULT/log VKEY [FILE...]
//
// It opens log/checkpoint under VKEY, authenticates every tile against the signed root, compares every entry with
// its leaf hash, and then each FILE: a receipt (tlog-proof) is checked by itself and must belong to this log, an
// earlier checkpoint must be a beginning of it. Prints one line for each check; exits 1 at the first that fails.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // hashes of a full tile: 2^8 (c2sp.org/tlog-tiles)

// directory reads tiles from a vault. x/mod says tile/8/L/N and tile/8/data/N where C2SP says tile/L/N and
// tile/entries/N; nothing else differs.
type directory struct{ path string }

func (d directory) Height() int                         { return height }
func (d directory) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		raw, err := d.read(tile)
		if err != nil {
			return nil, err
		}
		all = append(all, raw)
	}
	return all, nil
}

func (d directory) read(tile tlog.Tile) ([]byte, error) {
	path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
	path = strings.Replace(path, "tile/8/", "tile/", 1)
	return os.ReadFile(filepath.Join(d.path, path))
}

func main() {
	if len(os.Args) < 3 {
		fail("usage", fmt.Errorf("verify LOG VKEY [FILE...]"))
	}
	verifier, err := note.NewVerifier(os.Args[2])
	fail("verifier key", err)
	raw, err := os.ReadFile(filepath.Join(os.Args[1], "checkpoint"))
	fail("checkpoint", err)
	tree, err := openCheckpoint(raw, verifier)
	fail("checkpoint", err)
	fmt.Printf("checkpoint: %d entries, root %s, signed by %s\n", tree.N, tree.Hash, verifier.Name())
	tiles := directory{os.Args[1]}
	fail("entries", checkEntries(tree, tiles))
	fmt.Printf("entries: %d and every tile lead to the root\n", tree.N)
	for _, name := range os.Args[3:] {
		fail(name, checkFile(name, tree, tiles, verifier))
	}
}

func fail(what string, err error) {
	if err != nil {
		fmt.Printf("FAILED %s: %v\n", what, err)
		os.Exit(1)
	}
}

func openCheckpoint(raw []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func checkEntries(tree tlog.Tree, tiles directory) error {
	hashes := tlog.TileHashReader(tree, tiles) // authenticates every tile that it reads, up to the root
	for first := int64(0); first < tree.N; first += 1 << height {
		width := tree.N - first
		if width > 1<<height {
			width = 1 << height
		}
		var indexes []int64
		for i := int64(0); i < width; i++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, first+i))
		}
		want, err := hashes.ReadHashes(indexes)
		if err != nil {
			return err
		}
		bundle, err := tiles.read(tlog.Tile{H: height, L: -1, N: first >> height, W: int(width)})
		if err != nil {
			return err
		}
		for i, hash := range want {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return fmt.Errorf("entry %d: the bundle ends early", first+int64(i))
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			if tlog.RecordHash(bundle[2:end]) != hash {
				return fmt.Errorf("entry %d is not the one that was signed", first+int64(i))
			}
			bundle = bundle[end:]
		}
		if len(bundle) != 0 {
			return fmt.Errorf("bytes follow entry %d", first+width-1)
		}
	}
	return nil
}

func checkFile(name string, tree tlog.Tree, tiles directory, verifier note.Verifier) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	head, rest := "", string(raw)
	if strings.HasPrefix(rest, "c2sp.org/tlog-proof@v1\n") {
		parts := strings.SplitN(rest, "\n\n", 2)
		if len(parts) != 2 {
			return fmt.Errorf("not a tlog-proof")
		}
		head, rest = parts[0], parts[1]
	}
	earlier, err := openCheckpoint([]byte(rest), verifier)
	if err != nil {
		return err
	}
	if head != "" {
		if err := checkReceipt(name, head, earlier); err != nil {
			return err
		}
	}
	return checkBeginning(name, earlier, tree, tiles)
}

func checkReceipt(name, head string, signed tlog.Tree) error {
	lines := strings.Split(head, "\n")[1:]
	if len(lines) < 2 || !strings.HasPrefix(lines[0], "extra ") || !strings.HasPrefix(lines[1], "index ") {
		return fmt.Errorf("not a receipt")
	}
	entry, err := base64.StdEncoding.DecodeString(lines[0][6:])
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(lines[1][6:], 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	if err := tlog.CheckRecord(proof, signed.N, signed.Hash, index, tlog.RecordHash(entry)); err != nil {
		return err
	}
	fmt.Printf("%s: entry %d of %d: %s\n", name, index, signed.N, entry)
	return nil
}

func checkBeginning(name string, earlier, tree tlog.Tree, tiles directory) error {
	if earlier.N > tree.N {
		return fmt.Errorf("it speaks of %d entries, and the log has %d", earlier.N, tree.N)
	}
	if earlier.N == 0 {
		return nil
	}
	proof, err := tlog.ProveTree(tree.N, earlier.N, tlog.TileHashReader(tree, tiles))
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, earlier.N, earlier.Hash); err != nil {
		return err
	}
	fmt.Printf("%s: its %d entries are the beginning of this log\n", name, earlier.N)
	return nil
}

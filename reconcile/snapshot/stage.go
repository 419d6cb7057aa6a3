package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/edges"
	"oktasync/reconcile/snapshot/render"
)

// ErrTooLarge means that a record or a file of a snapshot would be larger than readers
// accept.
var ErrTooLarge = errors.New("too large for a snapshot")

// A stage is a folder that is filled beside the published snapshots. Every file
// in it is synced before it is listed in files.
type stage struct {
	fsys      fileSystem
	ownership ownership
	dir       string
	files     []File
}

func newStage(fsys fileSystem, a ownership, dir string) (*stage, error) {
	if err := fsys.Mkdir(dir, a); err != nil {
		return nil, err
	}
	return &stage{fsys: fsys, ownership: a, dir: dir}, nil
}

// Draft is the input of a publish.
type Draft struct {
	Started, Finished time.Time // by Okta's clock
	ClockOffset       time.Duration
	Org               Org
	Client            Client
	Run               Run
	Tool              Tool
	Declared          Declaration
	Settled           bool
	Control           *Control        // nil: nothing was compared with Okta's own counts
	Resources         []ResourceDraft // every declared resource
	Requests          io.Reader       // lines of Request.Line
	Base              *Snapshot       // the snapshot with which the records were compared; nil: none

	readSHA256     string // of the quarantined read that is released
	requestsSHA256 string // of its transcript
}

// ResourceDraft is one resource of a draft.
type ResourceDraft struct {
	Resource   *Resource
	ByStatus   map[string]int
	Counts     diff.Counts
	Base       string
	Records    diff.Reader // canonical records, read once, not closed
	Changes    io.Reader   // lines of Change.Line; nil unless Base is BasePrevious
	Rows       int         // records in all responses
	Duplicates int         // further copies of records
	Outside    int         // rows that are no part of the records: not declared, of an older list, deleted during the read, or read only for control totals

	// Stamp returns lastMembershipUpdated of a group, if records can be carried; nil: they
	// can't. The groups whose lists aren't in the transcript are carried: their records
	// must be those of the newest snapshot.
	Stamp func(group string) string

	// Unavailable is the reason why an optional resource could not be read; "": it was.
	// If it is set, there is nothing but Resource, Rows, and Outside, which equals Rows.
	Unavailable string

	// Digests of the records that were compared, and of the changes. If they aren't
	// "", the published content must have them.
	ContentSHA256, ChangesSHA256 string

	last *Link // to the newest snapshot with the records of a resource that is unavailable

	// These are set when the files are written.
	unresolved   int         // edges whose other end isn't recorded
	sums         *edges.Sums // of the records; nil without Stamp
	carried      int         // records of groups that were not read
	carriedSince *Time       // the oldest read of these groups; nil: all were read
}

func (d Draft) read() Read {
	return Read{Started: At(d.Started), Finished: At(d.Finished), ClockOffsetMS: d.ClockOffset.Milliseconds(), Settled: d.Settled}
}

// counts returns the counts of the manifest, by resource.
func (d Draft) counts() map[string]Counts {
	counts := make(map[string]Counts)
	for _, r := range d.Resources {
		kinds := map[diff.Kind]int{} // never nil, so that the manifest has no null
		maps.Copy(kinds, r.Counts.Kinds)
		if r.Unavailable != "" {
			counts[r.Resource.Name] = Counts{
				Available: new(bool), Reason: r.Unavailable, Last: r.last, Base: BaseNone, Kinds: kinds, Rows: r.Rows, Outside: r.Outside,
			}
			continue
		}
		refresh := ""
		switch {
		case r.carriedSince != nil:
			refresh = RefreshIncremental
		case r.Resource == GroupMembers:
			refresh = RefreshFull
		}
		counts[r.Resource.Name] = Counts{
			Total: r.Counts.Total, ByStatus: r.ByStatus,
			Added: r.Counts.Added, Changed: r.Counts.Changed, Removed: r.Counts.Removed,
			Kinds: kinds, Base: r.Base, Rows: r.Rows, Duplicates: r.Duplicates, Outside: r.Outside,
			Refresh: refresh, Carried: r.carried, CarriedSince: r.carriedSince, Unresolved: r.unresolved,
		}
	}
	return counts
}

// create writes a file with fill, which sets its number of rows, and computes the
// digest of what is written.
func (s *stage) create(file File, fill func(w *bufio.Writer, file *File) error) error {
	f, err := s.fsys.Create(filepath.Join(s.dir, file.Name), s.ownership)
	if err != nil {
		return err
	}
	sum := NewDigest()
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 128<<10)
	err = fill(w, &file)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file.Name, err)
	}
	file.Bytes, file.SHA256 = sum.Bytes, sum.String()
	s.files = append(s.files, file)
	return nil
}

// write writes a file that is in memory. Readers accept no larger file.
func (s *stage) write(name string, data []byte) error {
	if len(data) > MaxManifest {
		return fmt.Errorf("write %s: %w: %d bytes, larger than %d bytes", name, ErrTooLarge, len(data), MaxManifest)
	}
	return s.create(File{Name: name}, func(w *bufio.Writer, _ *File) error {
		_, err := w.Write(data)
		return err
	})
}

// resource writes the files of one resource of a draft. The CSV file of edges has the
// names of the resources that were written before.
func (s *stage) resource(ctx context.Context, d *ResourceDraft, columns *render.Columns) error {
	err := s.records(ctx, d, columns)
	switch {
	case err != nil:
	case columns != nil:
		err = s.csv(ctx, d, columns)
	case d.Resource.Other != nil:
		err = s.countUnresolved(ctx, d)
	}
	if err != nil || d.Changes == nil {
		return err
	}
	file := File{Name: d.Resource.ChangesFile(), Resource: d.Resource.Name}
	err = s.lines(ctx, file, d.Changes, func([]byte) error { return nil })
	if err == nil && d.ChangesSHA256 != "" && d.ChangesSHA256 != fileNamed(s.files, file.Name).SHA256 {
		err = fmt.Errorf("write %s: %w", file.Name, errChanged)
	}
	return err
}

// errChanged means that something has changed a temporary or staged file between
// two passes over it.
var errChanged = errors.New("its content has changed since it was written")

// records writes the records of a resource, and passes each to columns unless
// they are nil.
func (s *stage) records(ctx context.Context, d *ResourceDraft, columns *render.Columns) error {
	content := NewDigest()
	if d.Stamp != nil {
		d.sums = new(edges.Sums)
		d.Records = summedRecords{d.Records, d.sums}
	}
	err := s.create(File{Name: d.Resource.RecordsFile(), Resource: d.Resource.Name}, func(w *bufio.Writer, file *File) error {
		encoder, err := newEncoder(w, d.Resource)
		if err != nil {
			return err
		}
		defer encoder.Close()
		lines := bufio.NewWriterSize(io.MultiWriter(encoder, content), 64<<10)
		if file.Rows, err = writeRecords(ctx, lines, d.Records, columns); err != nil {
			return err
		}
		if err := lines.Flush(); err != nil {
			return err
		}
		file.ContentSHA256 = content.String()
		if d.ContentSHA256 != "" && d.ContentSHA256 != file.ContentSHA256 {
			return errChanged
		}
		return encoder.Close()
	})
	if err == nil && content.Bytes > MaxContent(s.files[len(s.files)-1].Bytes) {
		err = fmt.Errorf("write %s: %w", d.Resource.RecordsFile(), errExpansion)
	}
	return err
}

// newEncoder compresses the records of r. The ids of users and groups repeat at long
// distances in edges, so a larger window makes their files a third smaller.
func newEncoder(w io.Writer, r *Resource) (*zstd.Encoder, error) {
	level, size := zstd.SpeedDefault, window
	if r.Parent != nil {
		level, size = zstd.SpeedBetterCompression, maxWindow
	}
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level), zstd.WithWindowSize(size), zstd.WithZeroFrames(true))
}

// writeRecords writes records as lines, and checks the order of their keys.
func writeRecords(ctx context.Context, w *bufio.Writer, records diff.Reader, columns *render.Columns) (rows int, err error) {
	var last []byte
	for ; ; rows++ {
		if err := ctx.Err(); err != nil {
			return rows, err
		}
		record, err := records.Next()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, fmt.Errorf("read records: %w", err)
		}
		if rows > 0 && bytes.Compare(last, record.Key) >= 0 {
			return rows, fmt.Errorf("read records: %.60q comes after %.60q", record.Key, last)
		}
		if len(record.JSON) >= MaxLine {
			return rows, fmt.Errorf("record %.60q: %w: larger than %d bytes", record.Key, ErrTooLarge, MaxLine)
		}
		last = append(last[:0], record.Key...)
		if columns != nil {
			if err := columns.Add(record.JSON); err != nil {
				return rows, fmt.Errorf("record %.60q: %w", record.Key, err)
			}
		}
		w.Write(record.JSON)
		if err := w.WriteByte('\n'); err != nil {
			return rows, err
		}
	}
}

// csv renders the CSV file from the records that were written.
func (s *stage) csv(ctx context.Context, d *ResourceDraft, columns *render.Columns) error {
	return s.create(File{Name: d.Resource.CSVFile(), Resource: d.Resource.Name}, func(w *bufio.Writer, file *File) error {
		records, err := NamedRecords(s, d.Resource)
		if err != nil {
			return err
		}
		defer records.Close()
		counted := &untilDone{Reader: records, ctx: ctx}
		err = render.WriteCSV(w, Records(counted), columns)
		file.Rows = counted.records
		if n, ok := records.(*namedRecords); ok {
			d.unresolved = n.joiner.Unresolved()
		}
		return err
	})
}

// countUnresolved counts the edges that csv would count.
func (s *stage) countUnresolved(ctx context.Context, d *ResourceDraft) error {
	records, err := s.Records(d.Resource)
	if err != nil {
		return err
	}
	defer records.Close()
	joiner := Joiner(s, d.Resource)
	defer joiner.Close()
	for edges := (&untilDone{Reader: records, ctx: ctx}); err == nil; {
		var edge diff.Record
		if edge, err = edges.Next(); err == nil {
			err = joiner.Next(edge.Key)
		}
	}
	if err == io.EOF {
		err = joiner.Finish()
	}
	d.unresolved = joiner.Unresolved()
	return err
}

// Recorded returns the resources whose records were written.
func (s *stage) Recorded() []*Resource {
	return slices.DeleteFunc(Resources(), func(r *Resource) bool { return fileNamed(s.files, r.RecordsFile()).Name == "" })
}

// Records opens the records of a resource. If they aren't the ones that were written,
// it ends with errChanged.
func (s *stage) Records(r *Resource) (diff.Reader, error) {
	file := fileNamed(s.files, r.RecordsFile())
	f, err := s.fsys.Open(filepath.Join(s.dir, file.Name))
	if err != nil {
		return nil, err
	}
	sum := NewDigest()
	records, err := newRecordReader(io.TeeReader(f, sum), r)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	records.file, records.total, records.sum, records.sha256 = f, file.Rows, sum, file.SHA256
	records.wrap = func(err error) error { return fmt.Errorf("read %s: %w", file.Name, err) }
	return records, nil
}

// untilDone is a Reader that ends with its context, and counts the records.
type untilDone struct {
	diff.Reader
	ctx     context.Context
	records int
}

func (u *untilDone) Next() (diff.Record, error) {
	if err := u.ctx.Err(); err != nil {
		return diff.Record{}, err
	}
	record, err := u.Reader.Next()
	if err == nil {
		u.records++
	}
	return record, err
}

// lines copies the lines of r into a file, and passes each to check.
func (s *stage) lines(ctx context.Context, file File, r io.Reader, check func(line []byte) error) error {
	return s.create(file, func(w *bufio.Writer, file *File) error {
		lines := NewLineReader(r)
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			line, err := lines.Next()
			file.Rows = lines.N
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := check(line); err != nil {
				return fmt.Errorf("line %d: %w", lines.N, err)
			}
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
	})
}

// requests writes requests.ndjson.
func (s *stage) requests(ctx context.Context, d Draft) (Transcript, error) {
	if d.Requests == nil {
		return Transcript{}, errors.New("a draft without its requests")
	}
	var t Transcript
	err := s.lines(ctx, File{Name: RequestsFile, Resource: resourceRequests}, d.Requests, t.Add)
	if err == nil && d.requestsSHA256 != "" && d.requestsSHA256 != fileNamed(s.files, RequestsFile).SHA256 {
		err = fmt.Errorf("write %s: %w", RequestsFile, errChanged)
	}
	return t, err
}

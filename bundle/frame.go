package bundle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
)

// Frames follow RFC 8878. Each holds at most frameContent bytes, states its
// content size and carries a checksum; its window is at most maxWindow, and it
// is never "single segment", which would make decoders refuse large content.
const (
	frameContent = 4 << 20   // bytes of content in a full frame
	blockContent = 128 << 10 // RFC 8878's limit for a block
	maxWindow    = 8 << 20

	frameMagic     = 0xFD2FB528
	frameHeader    = 10 // magic 4, descriptor 1, window 1, content size 4
	blockHeader    = 3
	frameChecksum  = 4
	storedFlags    = 0x84           // 4-byte content size, checksum, no dictionary
	storedWindow   = (17 - 10) << 3 // 128 KiB: raw blocks refer to nothing
	maxStoredFrame = frameHeader + frameContent + frameContent/blockContent*blockHeader + frameChecksum
)

// EncoderVersion names the encoder of all that is not stored. Another encoder
// makes other bytes, so the plan states it.
const EncoderVersion = "github.com/klauspost/compress v1.20.3 zstd default"

// storedFrameSize is the size in bytes of the stored frame of n bytes of
// content, 0 < n ≤ frameContent.
func storedFrameSize(n int64) int64 {
	blocks := (n + blockContent - 1) / blockContent
	return frameHeader + n + blocks*blockHeader + frameChecksum
}

// storedSize is the size in bytes of n > 0 bytes of content stored in frames of
// which all but the last are full.
func storedSize(n int64) int64 {
	full, rest := n/frameContent, n%frameContent
	size := full * storedFrameSize(frameContent)
	if rest > 0 {
		size += storedFrameSize(rest)
	}
	return size
}

// newEncoder returns the encoder that EncoderVersion names. EncodeAll is a pure
// function of its input and safe for concurrent use.
func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithWindowSize(frameContent), zstd.WithSingleSegment(false), zstd.WithEncoderCRC(true))
}

// newDecoder returns a decoder for single frames by DecodeAll, safe for
// concurrent use.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
}

// appendStored appends the stored frame of content, at most frameContent bytes.
func appendStored(dst, content []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, frameMagic)
	dst = append(dst, storedFlags, storedWindow)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(content)))
	sum := xxhash.Sum64(content)
	for {
		block := content[:min(len(content), blockContent)]
		content = content[len(block):]
		dst = appendRawBlockHeader(dst, len(block), len(content) == 0)
		dst = append(dst, block...)
		if len(content) == 0 {
			return binary.LittleEndian.AppendUint32(dst, uint32(sum))
		}
	}
}

// fillStored builds in dst, or in a new buffer when that is too small, the stored
// frame of the next n bytes of r, reading them straight to their place.
func fillStored(dst []byte, n int, r io.Reader) ([]byte, error) {
	if size := int(storedFrameSize(int64(n))); cap(dst) < size {
		dst = make([]byte, 0, size)
	}
	dst = binary.LittleEndian.AppendUint32(dst[:0], frameMagic)
	dst = append(dst, storedFlags, storedWindow)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	var sum xxhash.Digest
	sum.Reset()
	for {
		size := min(n, blockContent)
		n -= size
		dst = appendRawBlockHeader(dst, size, n == 0)
		block := dst[len(dst) : len(dst)+size]
		if _, err := io.ReadFull(r, block); err != nil {
			return nil, noEOF(err)
		}
		sum.Write(block)
		dst = dst[:len(dst)+size]
		if n == 0 {
			return binary.LittleEndian.AppendUint32(dst, uint32(sum.Sum64())), nil
		}
	}
}

// isStored reports whether a frame that decoded to n bytes is the stored one:
// where raw blocks of the right sizes stand, nothing is left to choose.
func isStored(frame []byte, n int) bool {
	if int64(len(frame)) != storedFrameSize(int64(n)) || frame[4] != storedFlags || frame[5] != storedWindow {
		return false
	}
	for at := frameHeader; n > 0; {
		size := min(n, blockContent)
		n -= size
		if !bytes.Equal(frame[at:at+blockHeader], appendRawBlockHeader(nil, size, n == 0)) {
			return false
		}
		at += blockHeader + size
	}
	return true
}

func appendRawBlockHeader(dst []byte, size int, last bool) []byte {
	h := uint32(size) << 3 // block type 0: raw
	if last {
		h |= 1
	}
	return append(dst, byte(h), byte(h>>8), byte(h>>16))
}

// noEOF turns an end of input in the middle of something into what it is.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errFrame = errors.New("not a zstd frame of this format")

// frameInfo is what a frame's header says.
type frameInfo struct {
	headerSize int
	content    int // 1 … frameContent bytes
}

// parseFrameHeader reads the header of a frame from at least frameHeader bytes,
// fewer only at the end of the input.
func parseFrameHeader(b []byte) (frameInfo, error) {
	if len(b) < 8 || binary.LittleEndian.Uint32(b) != frameMagic {
		return frameInfo{}, errFrame
	}
	info := frameInfo{}
	switch b[4] {
	case 0x44: // 2-byte content size, counted from 256
		info = frameInfo{headerSize: 8, content: int(binary.LittleEndian.Uint16(b[6:])) + 256}
	case storedFlags:
		if len(b) < frameHeader {
			return frameInfo{}, errFrame
		}
		size := binary.LittleEndian.Uint32(b[6:])
		if size == 0 || size > frameContent {
			return frameInfo{}, fmt.Errorf("%w: content of %d bytes", errFrame, size)
		}
		info = frameInfo{headerSize: frameHeader, content: int(size)}
	default:
		return frameInfo{}, fmt.Errorf("%w: descriptor %#02x", errFrame, b[4])
	}
	return info, nil
}

// blockSize returns how many bytes follow a block header, and whether the block
// is the frame's last.
func blockSize(h []byte) (size int, last bool, err error) {
	v := uint32(h[0]) | uint32(h[1])<<8 | uint32(h[2])<<16
	size, last = int(v>>3), v&1 == 1
	switch v >> 1 & 3 {
	case 1: // one byte, repeated
		if size > blockContent {
			return 0, false, fmt.Errorf("%w: block of %d bytes", errFrame, size)
		}
		return 1, last, nil
	case 3:
		return 0, false, fmt.Errorf("%w: reserved block type", errFrame)
	}
	if size > blockContent {
		return 0, false, fmt.Errorf("%w: block of %d bytes", errFrame, size)
	}
	return size, last, nil
}

// readFrame reads one whole frame from r into buf, which it grows to at most
// maxStoredFrame, and returns the frame's bytes and its content size. At a clean
// end of r it returns io.EOF. It does not look at the checksum: decoding does.
func readFrame(r io.Reader, buf []byte) (frame []byte, content int, err error) {
	buf, err = readMore(r, buf[:0], 8)
	if err != nil {
		if len(buf) == 0 && err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		return buf, 0, err
	}
	if buf[4] == storedFlags {
		if buf, err = readMore(r, buf, frameHeader-8); err != nil {
			return buf, 0, err
		}
	}
	info, err := parseFrameHeader(buf)
	if err != nil {
		return buf, 0, err
	}
	for last := false; !last; {
		if buf, err = readMore(r, buf, blockHeader); err != nil {
			return buf, 0, err
		}
		var size int
		if size, last, err = blockSize(buf[len(buf)-blockHeader:]); err != nil {
			return buf, 0, err
		}
		// A writer stores what does not shrink, so no frame is larger than
		// the stored form of its content.
		if int64(len(buf)+size+frameChecksum) > storedFrameSize(int64(info.content)) {
			return buf, 0, fmt.Errorf("%w: longer than its content stored", errFrame)
		}
		if buf, err = readMore(r, buf, size); err != nil {
			return buf, 0, err
		}
	}
	buf, err = readMore(r, buf, frameChecksum)
	return buf, info.content, err
}

// readMore appends n bytes of r to buf. On failure buf holds what was read.
func readMore(r io.Reader, buf []byte, n int) ([]byte, error) {
	at := len(buf)
	if cap(buf)-at < n {
		grown := make([]byte, at, min(max(2*cap(buf), at+n, 64<<10), max(maxStoredFrame, at+n)))
		copy(grown, buf)
		buf = grown
	}
	got, err := io.ReadFull(r, buf[at:at+n])
	return buf[:at+got], noEOF(err)
}

// skipFrame returns the sizes of the frame at offset, reading only its headers.
func skipFrame(r io.ReaderAt, offset int64) (length, content int64, err error) {
	var b [frameHeader]byte
	n, err := r.ReadAt(b[:], offset)
	if err != nil && err != io.EOF {
		return 0, 0, err
	}
	info, err := parseFrameHeader(b[:n])
	if err != nil {
		return 0, 0, err
	}
	at := offset + int64(info.headerSize)
	limit := offset + storedFrameSize(int64(info.content)) - frameChecksum
	for last := false; !last; {
		if _, err := r.ReadAt(b[:blockHeader], at); err != nil {
			return 0, 0, noEOF(err)
		}
		var size int
		if size, last, err = blockSize(b[:blockHeader]); err != nil {
			return 0, 0, err
		}
		at += blockHeader + int64(size)
		if at > limit {
			return 0, 0, fmt.Errorf("%w: longer than its content stored", errFrame)
		}
	}
	return at + frameChecksum - offset, int64(info.content), nil
}

package signature

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxContent bounds what a message may decompress to, in bytes. Real documents have
// less than 1 KiB.
const maxContent = 1 << 20

// Packet types and compression of RFC 4880, 4.3 and 9.3.
const (
	tagSignature  = 2
	tagOnePass    = 4
	tagCompressed = 8
	tagLiteral    = 11

	compressionZIP  = 1
	compressionZLIB = 2
)

// message is the one form of a signed message that is accepted:
// one-pass header, literal data, signature, and nothing else.
type message struct {
	onePass   []byte // body of the one-pass header, 13 bytes
	content   []byte // what is signed
	signature []byte // body of the signature packet
}

// parseMessage takes a signed message apart, to its last byte. Nothing of it is
// verified.
func parseMessage(raw []byte) (*message, error) {
	if bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("%w: it is armored text", ErrNotMessage)
	}
	outer := packets{rest: raw}
	first, err := outer.next()
	if err != nil {
		return nil, err
	}
	if first.tag != tagCompressed {
		outer.rest = raw
		return parsePackets(&outer)
	}
	content, left, err := decompress(first.body)
	if err != nil {
		return nil, err
	}
	m, err := parsePackets(&packets{rest: content})
	if err != nil {
		return nil, err
	}
	if n := left + len(outer.rest); n > 0 {
		return nil, fmt.Errorf("%w: %d bytes", ErrTrailing, n)
	}
	return m, nil
}

func parsePackets(p *packets) (*message, error) {
	onePass, err := p.expect(tagOnePass)
	if err != nil {
		return nil, err
	}
	if len(onePass) != 13 || onePass[0] != 3 {
		return nil, fmt.Errorf("%w: one-pass header is not of version 3", ErrNotMessage)
	}
	if onePass[12] != 1 {
		return nil, fmt.Errorf("%w: it has several signatures", ErrNotMessage)
	}
	literal, err := p.expect(tagLiteral)
	if err != nil {
		return nil, err
	}
	content, err := literalContent(literal)
	if err != nil {
		return nil, err
	}
	signed, err := p.expect(tagSignature)
	if err != nil {
		return nil, err
	}
	if len(p.rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes", ErrTrailing, len(p.rest))
	}
	return &message{onePass: onePass, content: content, signature: signed}, nil
}

// literalContent skips format, file name and date, which a signature does not cover.
func literalContent(body []byte) ([]byte, error) {
	if len(body) < 6 || len(body) < 6+int(body[1]) {
		return nil, fmt.Errorf("%w: literal data is shorter than its header", ErrNotMessage)
	}
	if f := body[0]; f != 'b' && f != 't' && f != 'u' {
		return nil, fmt.Errorf("%w: literal data of unknown format %q", ErrNotMessage, f)
	}
	return body[6+int(body[1]):], nil
}

// decompress returns the content of a compressed packet and how many bytes of the
// packet follow the end of the compressed data.
func decompress(body []byte) (content []byte, left int, err error) {
	if len(body) == 0 {
		return nil, 0, fmt.Errorf("%w: compressed data is empty", ErrTruncated)
	}
	from := bytes.NewReader(body[1:]) // an io.ByteReader: nothing is read ahead
	var r io.Reader
	switch body[0] {
	case compressionZIP:
		r = flate.NewReader(from)
	case compressionZLIB:
		if r, err = zlib.NewReader(from); err != nil {
			return nil, 0, decompressError(err)
		}
	default:
		return nil, 0, fmt.Errorf("%w: compression %d is not supported", ErrNotMessage, body[0])
	}
	content, err = io.ReadAll(io.LimitReader(r, maxContent+1))
	if err != nil {
		return nil, 0, decompressError(err)
	}
	if len(content) > maxContent {
		return nil, 0, fmt.Errorf("%w: it decompresses to more than %d bytes", ErrNotMessage, maxContent)
	}
	return content, from.Len(), nil
}

func decompressError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: compressed data ends early", ErrTruncated)
	}
	return fmt.Errorf("%w: compressed data: %w", ErrNotMessage, err)
}

// packets reads OpenPGP packets one after another from bytes in memory.
type packets struct{ rest []byte }

type pgpPacket struct {
	tag  byte
	body []byte // of the input, but for partial lengths
}

// expect returns the body of the next packet, which must be of one type.
func (p *packets) expect(tag byte) ([]byte, error) {
	next, err := p.next()
	if err != nil {
		return nil, err
	}
	if next.tag != tag {
		return nil, fmt.Errorf("%w: packet of type %d where one of type %d belongs", ErrNotMessage, next.tag, tag)
	}
	return next.body, nil
}

// next reads one packet (RFC 4880, 4.2). The end of the input is [ErrTruncated]:
// next is called only where a packet is needed.
func (p *packets) next() (pgpPacket, error) {
	header, err := p.take(1)
	if err != nil {
		return pgpPacket{}, err
	}
	b := header[0]
	if b&0x80 == 0 {
		return pgpPacket{}, fmt.Errorf("%w: byte %#02x begins no packet", ErrNotMessage, b)
	}
	if b&0x40 != 0 {
		return p.newFormat(b & 0x3f)
	}
	tag, lengthType := b>>2&0x0f, b&3
	if lengthType == 3 {
		// The packet goes on to the end of the input. Only compressed data says
		// itself where it ends; with any other the signature would be part of it.
		if tag != tagCompressed {
			return pgpPacket{}, fmt.Errorf("%w: packet of type %d without a length", ErrNotMessage, tag)
		}
		body := p.rest
		p.rest = nil
		return pgpPacket{tag, body}, nil
	}
	length, err := p.number(1 << lengthType)
	if err != nil {
		return pgpPacket{}, err
	}
	body, err := p.take(length)
	return pgpPacket{tag, body}, err
}

func (p *packets) newFormat(tag byte) (pgpPacket, error) {
	var parts []byte
	for first := true; ; first = false {
		length, partial, err := p.newLength()
		if err != nil {
			return pgpPacket{}, err
		}
		if partial && tag != tagCompressed && tag != tagLiteral {
			return pgpPacket{}, fmt.Errorf("%w: packet of type %d in parts", ErrNotMessage, tag)
		}
		body, err := p.take(length)
		if err != nil {
			return pgpPacket{}, err
		}
		if first && !partial {
			return pgpPacket{tag, body}, nil
		}
		parts = append(parts, body...)
		if !partial {
			return pgpPacket{tag, parts}, nil
		}
	}
}

func (p *packets) newLength() (length uint32, partial bool, err error) {
	b, err := p.take(1)
	if err != nil {
		return 0, false, err
	}
	switch first := uint32(b[0]); {
	case first < 192:
		return first, false, nil
	case first < 224:
		second, err := p.number(1)
		return (first-192)<<8 + second + 192, false, err
	case first < 255:
		return 1 << (first & 0x1f), true, nil
	}
	length, err = p.number(4)
	return length, false, err
}

// number reads a big-endian number of up to 4 bytes.
func (p *packets) number(size uint32) (uint32, error) {
	b, err := p.take(size)
	if err != nil {
		return 0, err
	}
	var wide [4]byte
	copy(wide[4-size:], b)
	return binary.BigEndian.Uint32(wide[:]), nil
}

func (p *packets) take(n uint32) ([]byte, error) {
	if uint64(n) > uint64(len(p.rest)) {
		return nil, fmt.Errorf("%w: %d bytes where %d belong", ErrTruncated, len(p.rest), n)
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b, nil
}

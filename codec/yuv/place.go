package yuv

import (
	"image"

	"tutti/codec/i420"
)

// Place answers which part of a picture of srcW x srcH is drawn onto which
// part of an area of dstW x dstH, all in pixels from the upper left corner.
// It is the one geometry that every scaler in Tutti follows.
//
// Both rectangles begin at even coordinates, the grid on which chroma lies;
// the destination's sizes are even too, the source's are even unless they
// reach to the edge of a picture of odd size. A shape that differs by at most
// one part in a hundred is stretched rather than cut or barred: nobody sees
// the stretch, everybody sees a hairline. The sizes must be positive and
// dstW and dstH even; otherwise both answers are empty.
func Place(srcW, srcH, dstW, dstH int, fit i420.Fit) (src, dst image.Rectangle) {
	if srcW < 1 || srcH < 1 || dstW < 2 || dstH < 2 || (dstW|dstH)&1 != 0 {
		return image.Rectangle{}, image.Rectangle{}
	}
	src, dst = image.Rect(0, 0, srcW, srcH), image.Rect(0, 0, dstW, dstH)
	wider := srcW*dstH > dstW*srcH // the source is the flatter of the two
	switch {
	case fit == i420.Cover && wider:
		src.Min.X, src.Max.X = centre(srcW, srcH*dstW, dstH)
	case fit == i420.Cover:
		src.Min.Y, src.Max.Y = centre(srcH, srcW*dstH, dstW)
	case fit == i420.Contain && wider:
		dst.Min.Y, dst.Max.Y = centre(dstH, srcH*dstW, srcW)
	case fit == i420.Contain:
		dst.Min.X, dst.Max.X = centre(dstW, srcW*dstH, srcH)
	}
	return src, dst
}

// centre answers the middle num/den pixels of a side of full pixels, on even
// coordinates, or the whole side where hardly anything is missing.
func centre(full, num, den int) (lo, hi int) {
	n := max(2, (num+den)/(2*den)*2) // to the nearest even number
	if (full-n)*100 <= full {
		return 0, full
	}
	lo = (full - n) / 2 &^ 1
	return lo, lo + n
}
